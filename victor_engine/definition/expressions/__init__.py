"""Expressions and assignments: data with one evaluator and a budget, never Python code."""
