"""The tree of errors: one root, one branch per thing that can go wrong, vendor errors mapped once in `clients/`.

LakehouseError
├── SettingsError            a setting is missing, malformed or not allowed in this environment
├── ContractError            a record or schema breaks the contract
│   ├── RejectedError        one record is refused: it carries a dead-letter code and a reason
│   └── SchemaRefusedError   the registry refused a schema change
├── ServerError              a server did not do what was asked
│   ├── UnreachableError     it did not answer (gone, refused, timed out)
│   ├── DeniedError          it answered, and said no
│   └── RefusedValueError    it answered, and does not take a value that it was given
├── LeaseHeldError           another driver owns this table
├── InputError               what the user gave (file, mapping, option) cannot be used
└── ModelError               a model or its manifest cannot be trusted or loaded
"""

import re

CARD_LIKE = re.compile(r"\d(?:[ -]?\d){11,18}")


class LakehouseError(Exception):
    """Root of all errors that this project raises on purpose; its text says what to do next."""


class SettingsError(LakehouseError):
    """A setting is missing, malformed, or a known placeholder outside `local`."""


class ContractError(LakehouseError):
    """A record or a schema breaks the contract."""


class RejectedError(ContractError):
    """One record is refused; `code` names the dead letter's kind, `reason` says why to a person."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the code (stable, for machines) and the reason (for people), never what may be a card number."""
        self.code = code
        self.reason = CARD_LIKE.sub("<digits>", reason)
        super().__init__(f"{code}: {self.reason}")

    def __reduce__(self) -> tuple[type["RejectedError"], tuple[str, str]]:
        """Pickle by both arguments: Spark carries errors between processes."""
        return type(self), (self.code, self.reason)


class SchemaRefusedError(ContractError):
    """The registry refused a schema: it would break readers of older records."""


class ServerError(LakehouseError):
    """A server answered with an error, or not at all."""


class UnreachableError(ServerError):
    """A server did not answer in time."""


class DeniedError(ServerError):
    """A server refused our credentials or our rights."""


class RefusedValueError(ServerError):
    """A server does not take a value that it was given: the value is at fault, and trying again does not help."""


class LeaseHeldError(LakehouseError):
    """Another driver holds the lease on a table."""


class InputError(LakehouseError):
    """A file, mapping or option given by the user cannot be used."""


class ModelError(LakehouseError):
    """A model, or the manifest that vouches for it, cannot be trusted or loaded."""
