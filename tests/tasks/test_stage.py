from prefect import flow

from data_contracts.components import EncoderSettings
from data_contracts.errors import SourceError
from data_contracts.train import Checkpoint
from omni_core.code_digest import code_digest
from tasks.home import store_of
from tasks.stage import latest_journal, may_pass, stage


class Ended:
    """A state that ended with an error."""

    def __init__(self, error):
        self.error = error

    def result(self, raise_on_failure):
        return self.error


def test_only_faults_of_the_network_are_tried_again():
    assert may_pass(None, None, Ended(ConnectionError("reset")))
    assert not may_pass(None, None, Ended(FileNotFoundError("gone")))
    assert not may_pass(None, None, Ended(SourceError("no such folder")))
    assert not may_pass(None, None, Ended(ValueError("our mistake")))


@stage(cached=False)
def answers(value: int, home: str) -> int:
    """A stage outside of the cache."""
    return value + 1


@stage(cached=False)
def refuses(home: str) -> None:
    """A stage that meets bad input."""
    raise SourceError("source 'x' is not a folder; correct ingest.sources")


@flow
def small(home: str) -> int:
    return answers(1, home)


@flow
def bad(home: str) -> None:
    refuses(home)


def test_the_journal_tells_stages_and_seconds(prefect_server, tmp_path):
    assert small(str(tmp_path)) == 2
    (run,) = latest_journal()
    assert run.name == "answers" and not run.was_cached and 0 <= run.seconds < 60


def test_an_error_for_a_person_leaves_the_flow_as_it_was_raised(prefect_server, tmp_path):
    try:
        bad(str(tmp_path))
    except SourceError as error:
        assert str(error) == "source 'x' is not a folder; correct ingest.sources"
    else:
        raise AssertionError("the flow must fail")


def tried(error, wanted: int) -> int:
    """How often a stage is called that fails with the error until the wanted call."""
    calls = []

    @stage(cached=False)
    def fails(home: str) -> int:
        calls.append(home)
        if len(calls) < wanted:
            raise error
        return len(calls)

    @flow
    def around() -> None:
        fails.with_options(retry_delay_seconds=0)("here")

    around(return_state=True)
    return len(calls)


def test_a_stage_goes_on_when_the_network_is_back_and_only_then(prefect_server):
    assert tried(ConnectionResetError("the object store"), wanted=3) == 3
    assert tried(OSError(28, "no space left on device"), wanted=3) == 1


@stage("omni_core.mel")
def makes(encoder: EncoderSettings, home: str) -> Checkpoint:
    """A stage that leaves an artifact."""
    with store_of(home).scratch(Checkpoint.kind) as folder:
        (folder / "weights").write_text("none")
        return store_of(home).commit(Checkpoint, folder)


def test_the_card_names_the_code_that_made_it_the_component_s_too(tmp_path):
    made = makes.fn(EncoderSettings(name="log_mel", weights=""), str(tmp_path))
    assert made.code_digest == code_digest("omni_core.mel", "omni_core.encoders.log_mel")
    assert store_of(str(tmp_path)).load(Checkpoint, made.digest) == made and store_of(str(tmp_path)).verify(made)
