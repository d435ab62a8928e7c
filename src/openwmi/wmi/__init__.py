"""The interfaces of MS-WMI: tables, stubs over `openwmi.cim.operations`, and proxies that implement them."""
