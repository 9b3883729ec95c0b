"""How the operator finds its API server, and what it shows there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kopf
import pytest

from shortlist_operator.kubernetes import kube as operators_kube
from shortlist_operator.kubernetes.kube import Kube, KubeError
from shortlist_operator.kubernetes.login import NoClusterError, kopf_login, login
from testkit.operator.api_server import ApiServer
from testkit.operator.kubeconfig import kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_token_is_read_again_before_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ApiServer() as server:
        monkeypatch.setenv(
            "KUBECONFIG", kubeconfig(server.url, tmp_path, token="old")["KUBECONFIG"]
        )
        kube = Kube()
        try:
            await kube.pipelines("prod")
            kubeconfig(server.url, tmp_path, token="new")
            await kube.pipelines("prod")
            monkeypatch.setattr(operators_kube, "LOGIN_SECONDS", 0.0)
            await kube.pipelines("prod")
        finally:
            await kube.close()
        assert [call.caller for call in server.calls] == ["old", "old", "new"]


async def test_a_login_that_cannot_be_read_fails_the_call_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators_kube, "LOGIN_SECONDS", 0.0)
    async with ApiServer() as server:
        path = kubeconfig(server.url, tmp_path)["KUBECONFIG"]
        monkeypatch.setenv("KUBECONFIG", path)
        kube = Kube()
        try:
            (tmp_path / "kubeconfig").write_text("current-context: gone")
            with pytest.raises(KubeError, match=r"^0: .*KUBECONFIG cannot be used"):
                await kube.pipelines("prod")
            kubeconfig(server.url, tmp_path)
            assert await kube.pipelines("prod") == []
        finally:
            await kube.close()


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("10.96.0.1", "https://10.96.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("", "https://kubernetes.default.svc"),
    ],
)
def test_a_pod_needs_no_dns_to_renew_its_lease(
    monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    def login_of_a_pod(**_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="secret")

    monkeypatch.setattr(kopf, "login_with_service_account", login_of_a_pod)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = kopf_login(settings=kopf.OperatorSettings())
    assert found is not None
    assert (found.server, found.token) == (server, "secret")


def test_no_service_account_and_no_kubeconfig_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NoClusterError, match="neither a service account nor KUBECONFIG"):
        login()
