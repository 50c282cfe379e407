module trainwright.dev/tests/cluster/toolbox

go 1.26.0
