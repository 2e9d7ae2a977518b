# Fail until the file `repaired` is in the workspace.
cat >/dev/null
if [ ! -e repaired ]; then
    echo "the server gives no answer" >&2
    exit 7
fi
echo '{"fetched": 12}'
