import configparser
import shlex
import socket
from dataclasses import replace

import pytest

from data_contracts.errors import SettingsError
from flows.services import layout
from flows.services.supervision import check_port


@pytest.fixture
def services(tmp_path):
    return layout.Services(str(tmp_path / "50 % home"), 4200, 5000, ("s3://bucket/new=data/new",))


def test_what_is_noted_down_is_read_back(services):
    layout.write(services)
    assert layout.read(services.home) == services
    assert layout.read(services.home + "-elsewhere") is None


def test_supervisor_s_file_holds_the_commands_whatever_the_home_is_called(services):
    parser = configparser.ConfigParser()
    parser.read_string(layout.supervisord_conf(services))
    for name, command in layout.commands(services).items():
        assert shlex.split(parser[f"program:{name}"]["command"]) == command
    assert parser["unix_http_server"]["chmod"] == "0700"


def test_servers_listen_on_the_loopback_address_alone(services):
    commands = layout.commands(services)
    assert all(
        command[command.index("--host") + 1] == "127.0.0.1" for command in (commands["prefect"], commands["mlflow"])
    )


def test_pages_of_other_sites_cannot_use_the_prefect_server(services):
    environment = layout.environment(services)
    assert environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
    assert environment["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"


def test_a_home_whose_path_is_too_long_for_a_socket_has_its_socket_elsewhere(tmp_path):
    homes = [tmp_path / (letter * 100) for letter in "xy"]
    sockets = [layout.Services(str(home), 4200, 5000).socket for home in homes]
    assert len(set(sockets)) == 2 and all(len(str(socket)) <= layout.LONGEST_SOCKET for socket in sockets)
    assert sockets[0] == layout.Services(str(homes[0]), 4201, 5001).socket


def test_a_port_that_is_taken_is_refused_with_the_option_that_changes_it():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} is taken .* --mlflow-port"):
            check_port("mlflow", port)
    check_port("mlflow", port)


def test_a_supervisor_that_was_killed_does_not_count_as_running(services):
    services = replace(services, home=services.home[:-10])
    layout.write(services)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(services.socket))
    assert services.socket.exists() and not layout.run_now(services)
