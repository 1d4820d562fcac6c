"""How long threads of OpenMP wait for work by spinning.

>>> environment = {}
>>> spin_briefly(environment)
>>> environment
{'GOMP_SPINCOUNT': '3000'}
>>> environment = {"OMP_WAIT_POLICY": "active"}
>>> spin_briefly(environment)
>>> environment
{'OMP_WAIT_POLICY': 'active'}
"""

from collections.abc import MutableMapping

SPINS = 3000
"""Some microseconds. GNU's OpenMP, torch's on Linux, spins a hundred times as long: on a busy machine a training of two
threads then takes up to five times as long; on an idle one so few are no slower."""


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """In an environment, in which torch is not yet imported; does nothing where the user has said how threads wait."""
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))
