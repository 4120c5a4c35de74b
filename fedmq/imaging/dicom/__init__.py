"""DICOM import: from the files of an archive to a folder of cases. The only user of pydicom."""
