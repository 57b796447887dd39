#!/usr/bin/env python3
"""Makes the files of this folder anew: the same rows each time. Needs pyarrow."""

import datetime
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
FIRST = ["Ann", "Ben", "Chloé", "Dana", "Emil", "Fatima", "Goran", "Hanna", "Ivo", "Jun"]
LAST = ["Adler", "Berg", "Costa", "Dvořák", "Eriksen", "Fuchs", "García", "Huber"]
CITIES = ["Bern", "Oslo", "Rome", "Vienna", "Zürich"]
CUSTOMERS = 200
ORDERS = 5_000


def shop(random_numbers):
    rows = []
    for number in range(1, CUSTOMERS + 1):
        name = f"{random_numbers.choice(FIRST)} {random_numbers.choice(LAST)}"
        joined = datetime.date(2019, 1, 1) + datetime.timedelta(days=random_numbers.randrange(1_800))
        rows.append(f"({number}, '{name}', '{random_numbers.choice(CITIES)}', '{joined}')")
    with open(os.path.join(HERE, "shop.sql"), "w", encoding="utf-8") as file:
        file.write(
            "CREATE DATABASE IF NOT EXISTS app CHARACTER SET utf8mb4;\n"
            "DROP TABLE IF EXISTS app.customers;\n"
            "CREATE TABLE app.customers (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL, city VARCHAR(40) NOT NULL,\n"
            "  joined DATE NOT NULL, KEY (city)) CHARACTER SET utf8mb4;\n"
            "INSERT INTO app.customers VALUES\n" + ",\n".join(rows) + ";\n"
            "ANALYZE TABLE app.customers;\n"
        )


def loyalty(random_numbers):
    with open(os.path.join(HERE, "loyalty.txt"), "w", encoding="utf-8") as file:
        for number in range(1, CUSTOMERS + 1, 2):
            points = random_numbers.randrange(5_000)
            tier = "gold" if points > 3_500 else "silver" if points > 1_500 else "bronze"
            file.write(f"HSET loyalty:{number} tier {tier} points {points}\n")


def orders(random_numbers):
    start = datetime.date(2024, 1, 1)
    days = sorted(random_numbers.randrange(365) for _ in range(ORDERS))
    table = pa.table(
        {
            "id": pa.array(range(1, ORDERS + 1), pa.int64()),
            "customer_id": pa.array([random_numbers.randint(1, CUSTOMERS) for _ in days], pa.int32()),
            "ordered": pa.array([start + datetime.timedelta(days=day) for day in days], pa.date32()),
            "amount": pa.array(
                [f"{random_numbers.randrange(100, 50_000) / 100:.2f}" for _ in days], pa.string()
            ).cast(pa.decimal128(10, 2)),
        }
    )
    folder = os.path.join(HERE, "lake", "orders")
    os.makedirs(folder, exist_ok=True)
    half = ORDERS // 2
    for part, rows in enumerate([table.slice(0, half), table.slice(half)]):
        pq.write_table(rows, os.path.join(folder, f"part-{part}.parquet"), row_group_size=1_000)


if __name__ == "__main__":
    numbers = random.Random(5433)
    shop(numbers)
    loyalty(numbers)
    orders(numbers)
