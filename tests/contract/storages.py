"""The storage accounts that the contract is tested on."""

from shared.storage.gateways.clients import StorageClients
from shared.storage.gateways.memory import MemoryStorage

type Storage = MemoryStorage | StorageClients
