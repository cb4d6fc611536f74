"""The control API's generated stubs, one package a version."""
