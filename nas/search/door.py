"""Who reaches NNI's port: nobody else where every trial runs on this machine, else the hosts of the search; and whether
where trials run there is what they ask for."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from nas.errors import NasError
from nas.search.config import SearchConfig
from nas.search.gpus import check_here
from nas.search.guard import at_door, at_home
from nas.search.hosts import address_for, check_cluster, is_local, is_ours, services
from nas.search.knocking import knock


class Door:
    """The way from the hosts of a search to NNI's manager.

    Args:
        config: the checked search.yml.
        say: prints one line for the user.

    Attributes:
        address: of this machine, at which the hosts reach it, once they were asked; None at home.
    """

    def __init__(self, config: SearchConfig, say: Callable[[str], None]) -> None:
        self._config, self._say = config, say
        self._peers: list[str] = []
        self.address: str | None = None

    @property
    def local(self) -> bool:
        """Whether every trial runs on this machine, so that nobody else needs NNI's port."""
        return is_local(self._config.data)

    def knock(self, begun: str | None = None) -> list[str]:
        """Asks the hosts, if any, whether they let NNI in; a sentence for each of some that do not.

        Args:
            begun: this machine's address in a search that is resumed, where it is known.

        Raises:
            NasError: where none does, or what is to be uploaded to them cannot be; where trials run here, and ask for
                GPUs that this machine has not.
        """
        if self.local:
            check_here(self._config.data, str(self._config.path), self._say)
            return []
        config = self._config
        check_cluster(config.data, config.path)
        address = self.address = begun or self.address or address_for(config.data, config.path)
        if not is_ours(address):
            self._say(
                f"note: nniManagerIp {address} is no address of this machine, so that NNI listens on every one it has"
            )
        answers = knock(config.data, address, config.path, config.code, self._say)
        self._peers = answers.peers
        if answers.refused and not answers.peers:
            raise NasError(answers.refused[0])
        return answers.refused

    @property
    def environment(self) -> dict[str, str]:
        """nnictl's; with trials elsewhere this Python's folder is the first of PATH, for those of them here."""
        address = self.address
        if address is None:  # nor does `nnictl stop` need one
            return at_home(os.environ)
        known = all(one.get("platform") in ("local", "remote") for one in services(self._config.data))
        peers = self._peers if known else None  # pods have addresses of their own
        found = at_door(os.environ, address if is_ours(address) else None, peers)
        return {**found, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"}
