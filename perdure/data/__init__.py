"""The data API's generated stubs, one package a version."""
