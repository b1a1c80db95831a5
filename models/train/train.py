"""Retrains every first-party model into models/ and prints what was measured: python models/train/train.py [NAME ...]"""

import sys

import churn
import common
import digits
import fixtures
import iris
import lead_score

MAKERS = {"lead-score": lead_score, "churn": churn, "iris": iris, "digits": digits}


def main():
    names = sys.argv[1:] or [*MAKERS, "fixtures"]
    for name in names:
        if name == "fixtures":
            fixtures.write()
        elif name in MAKERS:
            common.save(MAKERS[name].train())
        else:
            sys.exit(f"unknown model {name}; use {', '.join(MAKERS)} or fixtures")


if __name__ == "__main__":
    main()
