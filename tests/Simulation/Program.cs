using Dispatch.Simulation;

return Command.Run(args);
