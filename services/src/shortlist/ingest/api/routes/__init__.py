"""The routes of ``/api``, a module for each resource."""
