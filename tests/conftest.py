"""Lists the plugins that hold the fixtures."""

pytest_plugins = [
    "tests.plugins.fix_seed",
    "tests.plugins.fix_redis",
    "tests.plugins.fix_postgres",
    "tests.plugins.fix_proxy",
    "tests.plugins.fix_simulator",
    "tests.plugins.fix_processes",
    "tests.plugins.report",
]
