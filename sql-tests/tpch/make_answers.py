"""Writes answers/*.tsv: DuckDB's answers to queries/*.sql over the Parquet files of scale 0.01.

Usage: target/debug/tpch-parquet 0.01 FOLDER && python make_answers.py FOLDER     (needs `pip install duckdb==1.5.5`)

qNN.sql is the specification's query with its validation parameters; at this scale a few of them select next to
nothing, so qNNb.sql asks the same with parameters that do.

The first line holds the types, as the comparison needs them: `exact`, or `computed` for averages, quotients and
other numbers whose last digits depend on the engine. NULL is written as \\N. Rows are in the query's order.
"""

import pathlib
import re
import sys

import duckdb

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
# A number is exact when it is stored or a sum of products of stored decimals; these columns are divided or averaged.
COMPUTED = {1: {"avg_qty", "avg_price", "avg_disc"}, 8: {"mkt_share"}, 14: {"promo_revenue"}, 17: {"avg_yearly"}}


def text(value):
    if value is None:
        return "\\N"
    if isinstance(value, float):
        return repr(value)
    result = str(value)
    assert not re.search(r"[\t\n\\]", result), result
    return result


def main(folder):
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{folder}/{table}/*.parquet'")
    for query in sorted((HERE / "queries").glob("q*.sql")):
        number = int(query.stem[1:3])
        sql = query.read_text()
        result = connection.execute(re.sub(r"\{(\w+)\}", r"\1", sql))
        names = [column[0] for column in result.description]
        kinds = ["computed" if name in COMPUTED.get(number, ()) else "exact" for name in names]
        rows = result.fetchall()
        lines = [kinds] + [[text(value) for value in row] for row in rows]
        answer = HERE / "answers" / f"{query.stem}.tsv"
        answer.write_text("".join("\t".join(line) + "\n" for line in lines))
        print(answer.name, len(rows))


if __name__ == "__main__":
    main(sys.argv[1])
