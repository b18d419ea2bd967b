"""What several verbs need: real images, devices, files of studies."""
