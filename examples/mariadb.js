// MariaDB with a password that stands in no file, on a volume that outlives it, and an application that writes to it.
//
//   apt-get install mariadb-server-core mariadb-client-core
//   export WEFT_SECRET_DB_PASSWORD=swordfish
//   weft up examples/mariadb.js
//   weft logs -f app                        # visits: 1, 2, 3, …
//   weft stop; weft up examples/mariadb.js  # it counts on: stop keeps volumes
//   weft exec stranger -- mariadb -h db     # refused before a password is asked for
//   weft stop --volumes                     # forgets everything
//
// It shows secrets, volumes, and a link as narrow as the program needs it.

import { Container, Secret, Volume, allow, deployment, tcp } from 'weft';

deployment({ name: 'mariadb' });

// Its value comes from the environment of `weft up`, and is in no plan, listing or state.
const password = new Secret('db-password');

const db = new Container('db', {
  env: { PASSWORD: password },
  mounts: { '/data': new Volume('mariadb') },
  command: `
    set -e
    own='--no-defaults --user=root --datadir=/data'
    test -e /data/mysql || mariadb-install-db $own --auth-root-authentication-method=normal --skip-test-db >/dev/null
    cat >/tmp/first.sql <<END
CREATE DATABASE IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.visits (number INT AUTO_INCREMENT PRIMARY KEY, at DATETIME);
CREATE OR REPLACE USER app IDENTIFIED BY '$PASSWORD';
GRANT INSERT, SELECT ON shop.visits TO app;
END
    exec mariadbd $own --bind-address=:: --socket=/tmp/db.sock --pid-file=/tmp/db.pid --init-file=/tmp/first.sql`,
});

const app = new Container('app', {
  env: { MYSQL_PWD: password },
  command: `
    ask() { mariadb --no-defaults -h db -u app -N shop -e "$1"; }
    while sleep 1; do
      ask 'INSERT INTO visits (at) VALUES (now())' && echo "visits: $(ask 'SELECT count(*) FROM visits')"
    done`,
});

new Container('stranger', { command: ['sleep', 'infinity'] });

allow(app, db, tcp(3306));
