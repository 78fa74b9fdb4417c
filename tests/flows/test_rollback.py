"""The rollback as a deployment runs it; the registry's part has tests of its own."""

import pytest

from data_contracts.errors import PromotionError
from data_contracts.every_day import RollbackSettings
from tasks import registry
from tasks.champion import promote_version
from tests.tasks import small_registry as small


def test_the_flow_takes_the_last_promotion_back_and_refuses_a_second_time(tmp_path, monkeypatch, prefect_server):
    from flows.rollback import rollback

    monkeypatch.setattr(registry, "SERVED_MODEL", small.PARROT)
    home, chosen = str(tmp_path), small.settings()
    assert small.register(home, "a") == "1" and small.register(home, "b", "a") == "2"
    for number in ("1", "2"):
        promote_version(home, number, chosen)
    settings = RollbackSettings(home=home, promote=chosen)
    line = rollback(settings)
    assert line.version == "1" and line.reason.startswith("by flow run ") and len(line.reason) > 40
    assert registry.standing(home, chosen.registered_model, chosen.alias).aliases["champion"] == "1"
    with pytest.raises(PromotionError, match="first champion"):
        rollback(settings)
