"""Property tests without a deadline: how long an example takes on a busy machine says nothing."""

from hypothesis import settings

settings.register_profile("lakehouse", deadline=None)
settings.load_profile("lakehouse")
