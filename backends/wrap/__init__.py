"""Decorators: a Backend around a Backend, with the same contract.

Only the five methods of the contract are wrapped; what `Backend` builds from them goes through.
"""
