"""What holds for every test: property tests are judged by what they find, not by the clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The machine may be busy with other workers; a slow example is no wrong one.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
