// Every way to make a container, and what its identifier depends on.
const { Container, Image, Service, createDeployment } = require('@quilt/quilt');

const base = new Container('busybox', ['sh', '-c', 'echo "é\u0007\\" < /dev/null']);
const copies = base.replicate(3);
copies[0].env.FIRST = 'yes';
copies[1].command.push('more');
copies[2].setEnv('PORT', 8080);
copies[2].setEnv('DEBUG', true);
copies[2].setEnv('NOTHING', undefined);
copies[2].setEnv('NULL', null);
copies[2].setEnv('RATIO', 1e-7);

const files = new Container(new Image('site', 'FROM nginx\nRUN true\n'))
  .withEnv({ z: '1', a: '2', 10: 'ten', 9: 'nine' })
  .withFiles({ '/etc/motd': 'hello\n', '/a': '' });
const clone = files.clone();
clone.filepathToContent['/b'] = '😀 and ～';
const named = new Container(new Image('site', 'FROM nginx\nRUN true\n'));
named.setHostname('registry');
named.setEnv('SELF', named.getHostname());
const custom = new Container('busybox');
custom.owner = { team: 'net', since: 2017 };

// Made in this order, sorted by number: with more than ten of them that is not the order of their texts.
const many = new Container('pause').replicate(12);
const deployment = createDeployment();
deployment.deploy(new Service('base', [base].concat(copies)));
deployment.deploy(new Service('files', [clone, files, named, custom]));
deployment.deploy(new Service('many', many.reverse()));
