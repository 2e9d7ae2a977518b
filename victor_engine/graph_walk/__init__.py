"""The walk over the graph of one run, written once over an interface of effects."""
