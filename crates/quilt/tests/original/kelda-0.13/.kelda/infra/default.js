module.exports = (kelda) => {
  const machine = new kelda.Machine({ provider: 'DigitalOcean', ram: 2 });
  return new kelda.Infrastructure({ masters: machine.replicate(1), workers: machine.replicate(3) });
};
