// The infrastructure that `kelda base-infrastructure` left.
const { Container, baseInfrastructure } = require('kelda');

new Container({ name: 'web', image: 'nginx' }).deploy(baseInfrastructure());
