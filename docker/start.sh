#!/usr/bin/env bash
# The entry point of the image: start.sh CONFIGURATION. Hashes the password of the first user, then becomes the server.
#
#   CAUSEWAY_PASSWORD or CAUSEWAY_PASSWORD_FILE   the password of the user in the configuration
#   RUN_FOLDER                                    where its verifier is kept, default /run/causeway
set -euo pipefail

configuration=${1:?usage: start.sh CONFIGURATION}
RUN_FOLDER=${RUN_FOLDER:-/run/causeway}
server=${CAUSEWAY_BINARY:-causeway}
export RUN_FOLDER

if [ ! -s "$RUN_FOLDER/verifier" ]; then
  if [ -n "${CAUSEWAY_PASSWORD_FILE:-}" ]; then
    CAUSEWAY_PASSWORD=$(cat "$CAUSEWAY_PASSWORD_FILE")
  fi
  : "${CAUSEWAY_PASSWORD:?set CAUSEWAY_PASSWORD or CAUSEWAY_PASSWORD_FILE}"
  umask 077
  # By the standard input: arguments can be seen by every process.
  "$server" hash-password <<<"$CAUSEWAY_PASSWORD" >"$RUN_FOLDER/verifier.new"
  mv "$RUN_FOLDER/verifier.new" "$RUN_FOLDER/verifier"
fi
# Overrides of the configuration are read from CAUSEWAY_SERVER__* and CAUSEWAY_CATALOGS__*: these are not among them.
unset CAUSEWAY_PASSWORD CAUSEWAY_PASSWORD_FILE CAUSEWAY_BINARY
exec "$server" serve --config "$configuration"
