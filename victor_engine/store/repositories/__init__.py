"""The statements that change the store, in one module for each group of tables that belong together.

Each function names the aggregate root of what it changes and locks it first (`store.locks`). A status column
has one module that writes it. The functions decide nothing and write no events: the transitions that call them do.
"""
