// argv: 2 green
// Files, JSON, directories and packages; arguments; the modules of Node.
const crypto = require('crypto');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { Container, Service, createDeployment } = require('@quilt/quilt');
const Proxy = require('@weave/proxy');
const { label } = require('@weave/proxy/src/label');
const plain = require('plain');
const mapped = require('mapped');
const deep = require('mapped/features/deep');
const settings = require('./lib/settings');
const parts = require('./lib/parts');
const first = require('./lib/first');
const { ports } = require('data');

const template = fs.readFileSync(path.join(__dirname, 'templates', 'page.html'), { encoding: 'utf8' });
const raw = fs.readFileSync('templates/page.html');
const count = parseInt(process.argv[2], 10);
const env = {
  COLOUR: process.argv[3],
  HASH: crypto.createHash('sha1').update(template).digest('hex'),
  HASH2: crypto.createHash('sha256').update(raw).update('é', 'utf8').digest('base64'),
  BYTES: `${raw.length} ${raw.toString('hex').slice(0, 8)} ${Buffer.from('aGk=', 'base64')}`,
  PLAIN: plain.name + mapped.name + deep.name + label('x') + parts.join('+'),
  CYCLE: `${first.name} sees ${first.seen} and ${require('./lib/second').seen}`,
  SAME: `${require('./lib/first') === first} ${require.resolve('./lib/first') === path.resolve(__dirname, 'lib/first.js')}`,
  PATH: [path.basename('/a/b.c.js', '.js'), path.extname('x.tar.gz'), path.relative('/a/b', '/a/c/d'), path.normalize('/a/../b//c/.')].join(' '),
  PORTS: ports.join(),
  LIST: fs.readdirSync(path.join(__dirname, 'templates')).join(),
  THERE: `${fs.existsSync('templates/page.html')} ${fs.existsSync('templates/none')} ${fs.statSync('templates').isDirectory()}`,
  EOL: JSON.stringify(os.EOL),
  MAIN: `${require.main === module} ${module.exports === exports} ${path.basename(__filename)}`,
  UNSET: `${process.env.WEFT_NOT_SET}`,
};
console.log('this is not part of the deployment', { env });
const web = new Service('web', new Container(settings.image).withEnv(env).replicate(count));
web.containers.forEach((one) => {
  one.filepathToContent['/index.html'] = template.replace('{{title}}', settings.title);
});
const proxy = new Proxy(web);
createDeployment({ namespace: settings.namespace }).deploy([web, proxy]);
