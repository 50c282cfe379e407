"""The command `trainwright`, also as `kubectl trainwright`.

app        which commands there are; loads one only when it is called
commands/  one file per command: options in, output out, nothing else
manifests, resolving        files -> checked resources -> resolved runs
cluster, runs               the only access to Kubernetes, and what it returns
stalls                      whether a run that trains has stopped to make steps
proxies                     which proxy of the environment leads to a server
output, tables, live        how things are shown
stores, run_folders, histories  what runs have saved, read with the user's own credentials
verifying, event_files      checkpoints that are read whole; TensorBoard
local/     training on this machine
report/    the HTML report
watching/  the full screen of `watch`
"""
