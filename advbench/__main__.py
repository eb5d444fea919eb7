"""`python -m advbench`, also under `torchrun -m advbench`."""

import sys

from advbench.cli import main

sys.exit(main())
