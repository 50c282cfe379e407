"""The demo: two real models trained on a real cluster, with a worker killed on the way.

`make demo` runs `python -m demo`. It uses the product only from outside, as a user would: Helm,
manifests, kubectl and the resources' status.
"""
