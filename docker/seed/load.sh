#!/usr/bin/env bash
# Fills the three stores with the shop, again and again with the same result.
#
#   MYSQL_HOST MYSQL_PORT MYSQL_ROOT_PASSWORD SHOP_PASSWORD   the MySQL server, and the password that its user `shop` gets
#   REDIS_HOST REDIS_PORT                                     the Redis server
#   LAKE_ENDPOINT LAKE_BUCKET LAKE_KEY LAKE_SECRET            the S3 store
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

MYSQL_PWD=${MYSQL_ROOT_PASSWORD:-} mariadb --no-defaults --protocol=tcp -uroot -h"$MYSQL_HOST" -P"${MYSQL_PORT:-3306}" <<SQL
$(cat shop.sql)
CREATE USER IF NOT EXISTS shop IDENTIFIED BY '${SHOP_PASSWORD//\'/\'\'}';
ALTER USER shop IDENTIFIED BY '${SHOP_PASSWORD//\'/\'\'}';
GRANT SELECT ON app.* TO shop;
SQL
echo "customers are in MySQL"

redis-cli -h "$REDIS_HOST" -p "${REDIS_PORT:-6379}" --pipe <loyalty.txt
echo "their loyalty is in Redis"

# The secret goes by a file: arguments can be seen by every process.
login=$(mktemp)
trap 'rm -f "$login"' EXIT
chmod 600 "$login"
printf 'user = "%s:%s"\naws-sigv4 = "aws:amz:us-east-1:s3"\nsilent\nshow-error\nfail\n' "$LAKE_KEY" "$LAKE_SECRET" >"$login"
# curl signs a body's hash but does not send it, which some stores want.
nothing=$(printf '' | sha256sum | cut -d' ' -f1)
status=$(curl --config "$login" --no-fail -o /dev/null -w '%{http_code}' -H "x-amz-content-sha256: $nothing" \
  -X PUT "$LAKE_ENDPOINT/$LAKE_BUCKET")
case $status in
  200 | 409) ;;
  *) echo "could not create bucket $LAKE_BUCKET: HTTP $status" >&2; exit 1 ;;
esac
for file in lake/*/*.parquet; do
  curl --config "$login" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" -T "$file" "$LAKE_ENDPOINT/$LAKE_BUCKET/${file#lake/}"
done
echo "orders are on S3"
