#!/bin/sh
# A placeholder. The real script says how an app of this language is started.
exec node server.js
