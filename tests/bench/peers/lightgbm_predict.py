"""Times LightGBM's own predict on one thread and prints, for each batch size, seconds of one call (the median).

    python lightgbm_predict.py FOLDER ROUNDS SIZE...

FOLDER is where export.py wrote.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np


def main(folder, rounds, sizes):
    booster = lightgbm.Booster(model_file=Path(folder) / "lightgbm.txt")
    rows = np.array(json.loads((Path(folder) / "rows.json").read_text())["rows"])
    times = {}
    for size in sizes:
        batch = np.ascontiguousarray(np.resize(rows, (size, rows.shape[1])))
        booster.predict(batch, num_threads=1)
        times[size] = [timed(booster, batch) for _ in range(rounds)]
    print(json.dumps(times))


def timed(booster, batch):
    calls = max(3, 2_000 // len(batch))
    spent = []
    for _ in range(calls):
        begin = time.perf_counter()
        booster.predict(batch, num_threads=1)
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(size) for size in sys.argv[3:]])
