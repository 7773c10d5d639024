#!/bin/sh
# Run once by the image of PostgreSQL, when the database is made: the two roles of docs/postgresql-role.md.
set -eu
psql --set ON_ERROR_STOP=1 --quiet --username postgres --dbname postgres --file /run/secrets/roles.sql
