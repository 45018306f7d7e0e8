module.exports = (kelda) => {
  const machine = new kelda.Machine({ provider: 'Google', preemptible: true });
  return new kelda.Infrastructure(machine.replicate(1), machine.replicate(3));
};
