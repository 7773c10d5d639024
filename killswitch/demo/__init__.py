"""`make demo`: the whole product on one machine, as a person who just cloned it would want to see it."""
