"""What a configuration needs of the machine that serves it."""

from __future__ import annotations

from ..config import Routes
from ..stores.address import AddressError, examine
from ..stores.store import Store
from ..upstream.environment import authorities_of_environment, proxy_of_environment

__all__ = ["check_machine"]


def check_machine(routes: Routes, store: Store) -> None:
    """Raises ConfigError if these routes can never be served here. It may take 50 ms.

    This is so if the file of the store can be none, if certificates that `ca` names are not there, or if the
    environment names a proxy or authorities for a provider that are none.
    """
    try:
        examine(store)
    except AddressError as error:
        raise routes.error(("store",), str(error)) from error
    are_known = False
    for name, provider in routes.providers.items():
        if provider.transport is not None:
            continue
        if provider.ca is not None and not provider.ca.pem:
            raise routes.error(("providers", name, "ca"), f"there is no {provider.ca.source}")
        try:
            if provider.proxy is None:
                proxy_of_environment(provider.base_url)
            if provider.ca is None and provider.base_url.startswith("https:") and not are_known:
                authorities_of_environment()
                are_known = True
        except (ValueError, OSError) as error:
            raise routes.error(("providers", name, "base_url"), str(error)) from None
