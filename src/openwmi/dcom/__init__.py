"""DCOM without I/O: object references, activation, OXID resolution, IRemUnknown (MS-DCOM)."""
