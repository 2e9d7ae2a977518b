# Wait until the file `open` is in the workspace.
cat >/dev/null
until [ -e open ]; do sleep 0.05; done
echo '{"passed": true}'
