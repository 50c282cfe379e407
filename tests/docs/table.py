"""How each command of the docs is run: as it stands on a cluster, or by the test named here.

`RUN` commands are run by tests/e2e/test_docs.py in this order, with KUBECONFIG pointing at a cluster
where the chart is installed. `WATCHED` ones never end by themselves: they must print, then are ended.
"""

RUN = (
    "trainwright validate -f crds/examples/stdlib-gpt.yaml",
    "trainwright plan -f crds/examples/stdlib-gpt.yaml",
    "trainwright plan -f crds/examples/stdlib-gpt.yaml --defaults",
    "kubectl create secret generic s3 --from-env-file=s3.env",
    "kubectl apply -f crds/examples/stdlib-gpt.yaml",
    "kubectl get trainingruns --watch",
    "kubectl get trainwright -o wide",
    "kubectl describe trainingrun stdlib-gpt",
    "trainwright status",
    "trainwright status trainingrun/stdlib-gpt",
    "trainwright logs trainingrun/stdlib-gpt",
    "kubectl apply -f crds/examples/smollm2-chat.yaml",
    "trainwright watch finetunejob/smollm2-chat",
    "trainwright checkpoints finetunejob/smollm2-chat",
    "trainwright suspend trainingrun/stdlib-gpt",
    "trainwright resume trainingrun/stdlib-gpt",
    "trainwright completion bash",
    "kubectl -n trainwright-system logs deployment/trainwright",
    "helm package helm/trainwright --destination out",
)
WATCHED = frozenset(
    {
        "kubectl get trainingruns --watch",
        "trainwright watch finetunejob/smollm2-chat",
    }
)
# The file that the README has its reader write, for the command that names it.
SECRET_FILE = "s3.env"
# What stands in it for a value that only the reader knows.
PLACEHOLDERS = {
    "AWS_ACCESS_KEY_ID=...": "AWS_ACCESS_KEY_ID={access_key}",
    "AWS_SECRET_ACCESS_KEY=...": "AWS_SECRET_ACCESS_KEY={secret_key}",
    "http://minio.storage:9000": "{endpoint}",
}

# Too long, or too destructive, to be run once more as they stand: what runs them.
_REPORTS = "tests/e2e/test_monitoring.py::test_every_panel_of_a_run_on_cpus_has_data"
_CHART = "tests/e2e/test_chart.py::"
_MAKE = "tests/docs/test_commands.py::test_make_runs_what_the_docs_say"
_LIFE = "tests/embedded_cluster/test_life.py::"
_START = _LIFE + "test_two_nodes_start_and_end_within_their_bars_and_leave_nothing"
_ENVIRONMENT = _LIFE + "test_printed_environment_is_all_that_a_shell_needs"
_DOWN = _LIFE + "test_start_killed_half_way_is_cleaned_by_down"
RUN_BY = {
    "trainwright run -f crds/examples/stdlib-gpt.yaml --local --rewrite s3://datasets/=./data/": "tests/trainer/"
    "test_cli_run_local.py::test_the_demo_trains_here_in_about_the_memory_that_is_planned",
    "trainwright report stdlib-gpt -o run.html": _REPORTS,
    "trainwright compare stdlib-gpt stdlib-gpt-wide": _REPORTS,
    "trainwright compare stdlib-gpt stdlib-gpt-wide -o compare.html": _REPORTS,
    "trainwright dashboards export ./monitoring": "tests/monitoring/test_dashboards.py::"
    "test_the_command_writes_the_files_that_the_chart_ships",
    "make generate": _MAKE,
    ".venv/bin/python -m tests.monitoring.record": "tests/monitoring/test_pictures.py::"
    "test_every_query_of_the_dashboards_is_recorded_and_no_other",
    ".venv/bin/python -m tools.pictures": "tests/monitoring/test_pictures.py::"
    "test_a_picture_has_content_in_every_panel",
    "make demo": "tests/e2e/test_demo_alone.py::"
    "test_demo_trains_on_its_own_cluster_and_leaves_nothing",
    "make test": _MAKE,
    "make bench": _MAKE,
    "make check": _MAKE,
    "make unit": _MAKE,
    "make images REGISTRY=registry.example/team": _MAKE,
    "python -m tools.images all --archive out/images": "tests/contract/test_images_command.py",
    "helm install trainwright helm/trainwright --namespace trainwright-system --create-namespace "
    "--set registry=registry.example/team --wait": _CHART
    + "test_install_makes_a_hardened_operator_ready",
    "helm upgrade trainwright helm/trainwright --namespace trainwright-system "
    "--reset-then-reuse-values --wait": _CHART
    + "test_upgrade_brings_definitions_and_settings_up_to_date_and_keeps_runs",
    "helm uninstall trainwright --namespace trainwright-system": _CHART
    + "test_uninstall_leaves_definitions_and_runs_and_nothing_else",
    "kubectl delete crd trainingruns.trainwright.dev finetunejobs.trainwright.dev": _CHART
    + "test_runs_can_be_deleted_after_uninstall",
    "pip install tensorboard": "tests/unit/cli/test_event_files.py::"
    "test_without_tensorboard_it_says_how_to_install_it",
    "trainwright logs trainingrun/stdlib-gpt --tensorboard": "tests/e2e/test_demo.py::"
    "test_tensorboard_shows_every_step_once_whatever_was_killed",
    "pip install '.[cli]'": "tests/docs/test_commands.py::test_the_wheel_has_all_packages_and_commands",
    ".venv/bin/python -m tests.cluster up --name play --nodes 2": _START,
    ".venv/bin/python -m tests.cluster up --nodes 2 --gpus-per-node 4": _START,
    ".venv/bin/python -m tests.cluster env --name play": _ENVIRONMENT,
    'eval "$(.venv/bin/python -m tests.cluster env)"': _ENVIRONMENT,
    "kubectl get nodes": _ENVIRONMENT,
    ".venv/bin/python -m tests.cluster status": _LIFE
    + "test_component_that_dies_later_is_named_by_status_and_up_starts_anew",
    ".venv/bin/python -m tests.cluster down --name play": _DOWN,
    ".venv/bin/python -m tests.cluster down": _DOWN,
}
