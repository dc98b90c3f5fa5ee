"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

Root = Annotated[Path | None, Parameter(name="--root")]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Views = Annotated[list[str], Parameter(consume_multiple=True, negative="")]
Files = Annotated[list[Path], Parameter(consume_multiple=True, negative="")]
Intensities = Annotated[list[float], Parameter(consume_multiple=True, negative="")]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Splits = Annotated[int, Parameter(validator=Number(gte=1))]
Data = Literal["microscopy", "drone", "drone-classification"]
