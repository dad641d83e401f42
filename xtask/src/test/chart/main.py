"""Checks of the chart, the manifests and the scripts below deploy.

Run by `cargo xtask test`, with WORKSPACE, TOOLS, SCRATCH and PROXY in the environment. Prints `ok NAME` or
`FAIL NAME: REASON` for each check and ends with 1 if one failed.
"""

import sys
import traceback

import consistency
import golden
import policy
import quickstart
import refusals
import schemas
import security

CHECKS = [*golden.CHECKS, *schemas.CHECKS, *refusals.CHECKS, *security.CHECKS, *consistency.CHECKS, *policy.CHECKS, *quickstart.CHECKS]


def main():
    failed = False
    for check in CHECKS:
        title = check.__name__
        try:
            check()
        except AssertionError as error:
            failed = True
            print(f"FAIL {title}: {' '.join(str(error).split())}")
        except Exception:  # A check that breaks must not hide the others.
            failed = True
            print(f"FAIL {title}: {' '.join(traceback.format_exc().split())}")
        else:
            print(f"ok {title}")
    sys.exit(failed)


main()
