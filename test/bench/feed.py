# SPDX-License-Identifier: MIT
"""
What the benchmarks of whole programs are fed with, made anew for each run, always the same: a
script for sqlite3 and a program for gcc.
"""
import random


def write_sql(path, rows):
    """A table of @rows, two indexes, selects by range, deletes: 60 bytes a row."""
    chance = random.Random(1)
    with open(path, "w", encoding="ascii") as out:
        out.write("PRAGMA cache_size=20000;\n"
                  "CREATE TABLE part(id INTEGER PRIMARY KEY, price INTEGER, label TEXT);\nBEGIN;\n")
        for i in range(rows):
            out.write(f"INSERT INTO part VALUES({i},{chance.randrange(10 ** 9)},"
                      f"'part {chance.randrange(10_000)} of {i}');\n")
        out.write("COMMIT;\nCREATE INDEX by_price ON part(price);\nCREATE INDEX by_label ON part(label);\n")
        for i in range(rows // 150):
            low = i * 1000
            out.write(f"SELECT count(*), avg(price) FROM part WHERE price BETWEEN {low} AND {low + 300_000};\n")
        out.write("DELETE FROM part WHERE price % 3 = 0;\nSELECT count(*) FROM part;\n")


def c_function(i, chance):
    step, bound, factor = chance.randrange(1, 91), chance.randrange(100_000), chance.randrange(1, 10)
    return f"""static int stage{i}(int x, int n, int *table)
{{
	int sum = x;
	for (int i = 0; i < n; i++) {{ sum += table[(i * {step}) & 63]; if (sum > {bound}) sum -= i * {factor}; }}
	switch (sum % 7) {{ case 0: sum ^= {chance.randrange(500)}; break; case 1: sum += n; break;
	case 3: sum = sum * 31 + x; break; default: sum--; }}
	double part = sum * {chance.random():.4f}; if (part > 1e6) part /= 3.0;
	table[sum & 63] = (int)part; return sum;
}}
"""


def write_c(path, functions):
    """A program of so many functions of nine lines and one that calls them all."""
    chance = random.Random(2)
    with open(path, "w", encoding="ascii") as out:
        out.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
        out.writelines(c_function(i, chance) for i in range(functions))
        out.write("int main(void)\n{\n\tint table[64] = {0}, sum = 0;\n")
        out.writelines(f"\tsum += stage{i}(sum, {i % 50}, table);\n" for i in range(functions))
        out.write('\tprintf("%d\\n", sum);\n\treturn 0;\n}\n')
