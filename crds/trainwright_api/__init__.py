"""The API of Trainwright: typed resources, the resolved run, and what the parts tell each other.

Every other part imports this package and it imports none of them. Nothing heavy is imported here
(no Kubernetes client, no torch), so that the CLI starts quickly and the API can be read alone.
"""
