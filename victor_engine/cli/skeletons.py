"""The files that `victor init` and `victor new` write."""

from __future__ import annotations

CONFIGURATION = """\
# A workspace of victor: this file has the settings, workflows/ has the workflows.
# All keys are described in docs/configuration.md and docs/bindings.md.

# Who does the work of a node. A command reads its input as JSON on standard input, and prints its result.
handlers:
  greet:
    command: [sh, -c, 'echo "Hello from run $VICTOR_RUN_ID"']
    result: text  # or json, or lines
    inherit_env: false  # its environment is PATH, HOME and a few others; name more under env:
"""

HELLO = """\
workflows:
  hello:
    version: 1.0.0
    description: A greeting, from a command to the state of the run
    nodes:
      - id: greet
        type: compute
        handler: greet  # bound to a command in victor.yaml
        next: [keep]
      - id: keep
        type: transform
        transform: message = greet  # the output of a node is in the state under its id

    # victor test runs these with the given results, and executes nothing.
    tests:
      the greeting is kept:
        mocks: {greet: Hello}
        path: [greet, keep]
        outputs: {message: Hello}

    # To run it every weekday, remove the marks of comments:
    # schedule:
    #   cron: "0 9 * * 1-5"
    #   timezone: Europe/Berlin
"""

WORKFLOW = """\
workflows:
  {name}:
    version: 1.0.0
    description: Say what this workflow is for
    nodes:
      # The nodes in the order of the graph; the first one is the start.
      - id: prepare
        type: transform
        transform: ready = true
        next: [ask]

      # A question to people. The answer is in the state under the id of the node.
      - id: ask
        type: hitl
        hitl_type: approval
        prompt: Continue?
        timeout: 1h
        fallback: abort
        next: {{approved: finish, rejected: finish}}

      - id: finish
        type: transform
        transform: finished = ask

      # Work of a command, bound under handlers: in victor.yaml
      # - id: work
      #   type: compute
      #   handler: NAME
      #   timeout: 10m
      #   retry_policy: {{max_attempts: 3}}
"""

SCHEDULE = """\
schedule:
  cron: "0 9 * * 1-5"  # or every: 4h, at: 2027-01-31T09:00, after: other_workflow
  timezone: UTC
  # catchup: latest  # the newest fire that was missed while no engine ran
  # overlap: skip  # the policy while a run is active
  enabled: false  # remove this line to start it
"""

MIGRATION = """\
migrations:
  - from: {old}  # the version of the runs before the migration
    # to: the version of this file
    steps: []  # such as - {{type: rename_field, from: region, to: target.region}}
    # breaking: true  # needs a new major version
    # reverse: []  # the steps back
"""
