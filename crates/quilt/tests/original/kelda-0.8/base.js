// The infrastructure that `kelda init` left.
const { Container, baseInfrastructure } = require('kelda');

new Container('web', 'nginx').deploy(baseInfrastructure());
