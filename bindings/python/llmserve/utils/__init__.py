# SPDX-License-Identifier: Apache-2.0
from .argparse_utils import FlexibleArgumentParser

__all__ = ["FlexibleArgumentParser"]
