"""The operator's rights are the permission table and nothing else."""

from typing import Any

from trainwright_operator.permissions import PERMISSIONS

from tests.chart.rendering import FULL_NAME, NAMESPACE, Rendering, render
from tools.chart.permissions import is_cluster_scoped

Rule = tuple[str, str, str]


def flat(rules: list[dict[str, Any]]) -> set[Rule]:
    """One (group, resource, verb) per right."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def table(*, cluster: bool | None = None) -> set[Rule]:
    return {
        (row.api_group, resource, verb)
        for row in PERMISSIONS
        if cluster is None or is_cluster_scoped(row) == cluster
        for resource in row.resources
        for verb in row.verbs
    }


def operator_cluster_roles(rendering: Rendering) -> list[dict[str, Any]]:
    roles = rendering.all("ClusterRole")
    return [role for role in roles if role["metadata"]["name"] == f"{NAMESPACE}-{FULL_NAME}"]


def test_cluster_role_is_the_table() -> None:
    (role,) = operator_cluster_roles(render())
    assert flat(role["rules"]) == table()


def test_watched_namespaces_get_roles_and_nothing_else_is_granted() -> None:
    rendering = render({"watchNamespaces": ["team-a", "team-b"]})
    roles = rendering.all("Role")
    assert [role["metadata"]["namespace"] for role in roles] == ["team-a", "team-b"]
    assert all(flat(role["rules"]) == table(cluster=False) for role in roles)
    # CRDs are followed only by an operator that watches everywhere (see handlers.configure).
    assert operator_cluster_roles(rendering) == []
    assert not any(
        binding["subjects"][0]["name"] == rendering.only("ServiceAccount")["metadata"]["name"]
        for binding in rendering.all("ClusterRoleBinding")
    )


def test_every_binding_names_its_role_and_the_account() -> None:
    for values in ({}, {"watchNamespaces": ["team-a"]}):
        rendering = render(values)
        account = rendering.only("ServiceAccount")["metadata"]
        bindings = rendering.all("RoleBinding") + rendering.all("ClusterRoleBinding")
        assert bindings
        for binding in bindings:
            reference = binding["roleRef"]
            (subject,) = binding["subjects"]
            assert (subject["name"], subject["namespace"]) == (account["name"], NAMESPACE)
            names = [role["metadata"]["name"] for role in rendering.all(reference["kind"])]
            assert reference["name"] in names


def test_no_right_is_a_wildcard_and_no_secret_can_be_read() -> None:
    for group, resource, verb in table():
        assert "*" not in (group, resource, verb)
        assert resource != "secrets"


def test_roles_can_be_left_out() -> None:
    kinds = set(render({"rbac": {"create": False, "userRoles": False}}).kinds())
    assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def test_user_roles_aggregate_to_edit_and_view() -> None:
    roles = {role["metadata"]["name"]: role for role in render().all("ClusterRole")}
    edit, view = roles[f"{NAMESPACE}-{FULL_NAME}-edit"], roles[f"{NAMESPACE}-{FULL_NAME}-view"]
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert edit["metadata"]["labels"][f"{prefix}edit"] == "true"
    assert f"{prefix}view" not in edit["metadata"]["labels"]
    assert view["metadata"]["labels"][f"{prefix}view"] == "true"
    assert {verb for *_, verb in flat(view["rules"])} == {"get", "list", "watch"}
