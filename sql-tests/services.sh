#!/usr/bin/env bash
# Installs, starts and stops the real services that the tests talk to: MariaDB, Redis, an S3 store and PostgreSQL.
#
# Sourced by ../test and by whoever else needs them:
#   services_install            apt packages that are missing; their own daemons are kept from starting
#   services_start FOLDER BIN   starts all four on free loopback ports, data below FOLDER, S3 server from folder BIN;
#                               exports TEST_MYSQL_URL, TEST_REDIS_URL, TEST_S3_*, TEST_POSTGRES_URL
#   services_exports            prints those exports
#   services_stop               ends what services_start started, by process id

SERVICES_PIDS=()
SERVICES_POSTGRES_PID=
SERVICES_WAIT_S=60

services_say() { printf '[%(%T)T] %s\n' -1 "$*" >&2; }

services_as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

services_install() {
  local missing=()
  command -v cc >/dev/null || missing+=(build-essential)
  command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || missing+=(mariadb-server)
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v psql >/dev/null || missing+=(postgresql-client)
  [ -n "$(services_postgres_binaries)" ] || missing+=(postgresql)
  command -v javac >/dev/null || missing+=(default-jdk-headless)
  [ -e /usr/share/java/postgresql.jar ] || missing+=(libpostgresql-jdbc-java)
  [ ${#missing[@]} -gt 0 ] || return 0

  services_say "installing ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d policy_is_ours=no status=0
  if [ ! -e "$policy" ]; then
    # Debian starts a server when its package is installed, unless this script says no.
    printf '#!/bin/sh\nexit 101\n' | services_as_root tee "$policy" >/dev/null
    services_as_root chmod 755 "$policy"
    policy_is_ours=yes
  fi
  services_apt_install "${missing[@]}" || status=$?
  [ "$policy_is_ours" = no ] || services_as_root rm -f "$policy"
  return "$status"
}

services_apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || services_as_root apt-get -q update >&2 || return
  local install=(services_as_root apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@")
  # Lists that are there may be too old: the packages they name are gone.
  "${install[@]}" >&2 || { services_as_root apt-get -q update >&2 && "${install[@]}" >&2; }
}

# The folder of PostgreSQL's server and initdb, which Debian keeps off the path; of the newest version. Empty without one.
services_postgres_binaries() {
  local initdb
  initdb=$(command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1)
  [ -z "$initdb" ] || dirname "$initdb"
}

# A loopback port nothing listens on, below the range the kernel hands out by itself.
services_free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  services_say "no free port found"
  return 1
}

# services_wait NAME PID LOG COMMAND...: until COMMAND succeeds; fails when the process ends or time is up.
services_wait() {
  local name=$1 pid=$2 log=$3
  shift 3
  for _ in $(seq $((SERVICES_WAIT_S * 5))); do
    "$@" >/dev/null 2>&1 && return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  services_say "$name did not start; the end of its log:"
  tail -20 "$log" >&2
  return 1
}

services_start() {
  local folder=$1 binaries=$2
  services_start_mysql "$folder/mysql" && services_start_redis "$folder/redis" \
    && services_start_s3 "$folder/s3" "$binaries" && services_start_postgres "$folder"
}

services_start_mysql() {
  local folder=$1 port user server client
  # Servers that share a folder for temporary tables take each other's away.
  mkdir -p "$folder/tmp"
  port=$(services_free_port) || return
  user=$(id -un)
  server=$(command -v mariadbd || echo /usr/sbin/mariadbd)
  client=$(command -v mariadb || command -v mysql)
  TMPDIR="$folder/tmp" mariadb-install-db --no-defaults --user="$user" --datadir="$folder/data" --skip-test-db \
    --auth-root-authentication-method=normal >"$folder/install.log" 2>&1 \
    || { services_say "mariadb-install-db failed:"; tail -20 "$folder/install.log" >&2; return 1; }
  # userstat: rows read per table, so that a test can count what a query read at the source. The binary log shows the
  # moments of snapshots, by which tables are read in parts; what is in it is thrown away soon.
  "$server" --no-defaults --user="$user" --datadir="$folder/data" --socket="$folder/mysql.sock" \
    --pid-file="$folder/mysql.pid" --bind-address=127.0.0.1 --port="$port" --skip-name-resolve --tmpdir="$folder/tmp" \
    --log-bin="$folder/data/binlog" --sync-binlog=0 --max-binlog-size=16M --binlog-expire-logs-seconds=60 \
    --innodb-buffer-pool-size=512M --innodb-log-file-size=256M --innodb-flush-log-at-trx-commit=2 \
    --character-set-server=utf8mb4 --max-allowed-packet=64M --max-connections=500 --userstat=1 \
    >"$folder/server.log" 2>&1 </dev/null &
  SERVICES_PIDS+=($!)
  services_wait MariaDB $! "$folder/server.log" \
    "$client" --no-defaults -uroot -h127.0.0.1 -P"$port" -e 'SELECT 1' || return
  export TEST_MYSQL_URL="mysql://root@127.0.0.1:$port"
}

services_start_redis() {
  local folder=$1 port
  mkdir -p "$folder"
  port=$(services_free_port) || return
  redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly no --dir "$folder" \
    >"$folder/server.log" 2>&1 </dev/null &
  SERVICES_PIDS+=($!)
  services_wait Redis $! "$folder/server.log" redis-cli -h 127.0.0.1 -p "$port" ping || return
  export TEST_REDIS_URL="redis://127.0.0.1:$port/0"
}

services_start_s3() {
  local folder=$1 binaries=$2 port
  port=$(services_free_port) || return
  export TEST_S3_BUCKET=causeway-test TEST_S3_ACCESS_KEY=test-access-key TEST_S3_SECRET_KEY=test-secret-key
  mkdir -p "$folder/objects/$TEST_S3_BUCKET"
  S3_ACCESS_KEY=$TEST_S3_ACCESS_KEY S3_SECRET_KEY=$TEST_S3_SECRET_KEY \
    "$binaries/s3-server" --port "$port" "$folder/objects" >"$folder/server.log" 2>&1 </dev/null &
  SERVICES_PIDS+=($!)
  services_wait "the S3 server" $! "$folder/server.log" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || return
  export TEST_S3_ENDPOINT="http://127.0.0.1:$port"
}

services_start_postgres() {
  local folder=$1/postgres port binaries as=()
  mkdir -p "$folder"
  port=$(services_free_port) || return
  binaries=$(services_postgres_binaries)
  if [ "$(id -u)" = 0 ]; then
    # It refuses to run as root. The package has made a user for it, who must be able to enter the folder. setpriv
    # becomes the server, so that the process id is the server's own.
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
    chmod a+x "$1"
    chown postgres: "$folder"
  fi
  # Text is ordered by its bytes, as here; what is upper and lower case is known beyond ASCII.
  (cd "$folder" && "${as[@]}" "$binaries/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --no-sync \
    --encoding=UTF8 --locale=C --lc-ctype=C.UTF-8) >"$folder.install.log" 2>&1 \
    || { services_say "initdb failed:"; tail -20 "$folder.install.log" >&2; return 1; }
  (cd "$folder" && exec "${as[@]}" "$binaries/postgres" -D "$folder/data" -h 127.0.0.1 -p "$port" \
    -c unix_socket_directories= -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c timezone=UTC) \
    >"$folder.server.log" 2>&1 </dev/null &
  SERVICES_POSTGRES_PID=$!
  SERVICES_PIDS+=($!)
  services_wait PostgreSQL $! "$folder.server.log" psql -h 127.0.0.1 -p "$port" -U postgres -c 'SELECT 1' || return
  export TEST_POSTGRES_URL="postgresql://postgres@127.0.0.1:$port/postgres"
}

services_exports() {
  local name
  for name in TEST_MYSQL_URL TEST_REDIS_URL TEST_S3_ENDPOINT TEST_S3_BUCKET TEST_S3_ACCESS_KEY TEST_S3_SECRET_KEY \
    TEST_POSTGRES_URL; do
    printf 'export %s=%q\n' "$name" "${!name}"
  done
}

services_stop() {
  local pid
  # PostgreSQL waits for its clients to go, unless it is interrupted.
  [ -z "$SERVICES_POSTGRES_PID" ] || kill -INT "$SERVICES_POSTGRES_PID" 2>/dev/null
  for pid in "${SERVICES_PIDS[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${SERVICES_PIDS[@]}"; do
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || continue 2; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null
  done
  SERVICES_PIDS=()
  SERVICES_POSTGRES_PID=
}
